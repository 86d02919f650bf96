"""How workers and runs end before their time: deaths, orders to end, memory that runs out."""
