print("vergence-shards")
