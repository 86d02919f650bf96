"""USD: our head as a UsdSkel character with blend shapes, animated. Needs the extra `usd` (usd-core)."""
