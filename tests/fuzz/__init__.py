"""Fuzzed inputs. A package: its tests are named like those of the rooms that read them."""
