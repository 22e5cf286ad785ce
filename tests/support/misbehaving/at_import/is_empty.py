"""holds no implementation"""
