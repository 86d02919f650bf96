"""Rendered crops as a regressor learns from them: batches, cuts, bends, augmentation."""
