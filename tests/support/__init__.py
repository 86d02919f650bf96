"""What tests share: videos, engines, tables, servers and workers that fail on purpose."""
