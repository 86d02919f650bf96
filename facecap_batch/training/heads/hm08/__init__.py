"""MakeHuman's head: the base mesh hm08 with its ARKit face units and its targets as identities."""
