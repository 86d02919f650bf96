"""The output folder: ledger, reports, status, index, exports. Knows no Ray."""
