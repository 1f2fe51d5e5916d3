print("vergence")
