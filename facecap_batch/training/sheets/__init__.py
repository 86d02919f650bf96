"""Pictures that a person judges engines by."""
