"""From coefficient tables to files for people and their programs: FBX, Live Link Face CSV, previews."""
