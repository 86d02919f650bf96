"""Final tables to what people use: FBX, Live Link, previews."""
