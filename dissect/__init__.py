"""Units and concepts: which concept does each unit of a network detect? (Bau et al. 2017)"""
