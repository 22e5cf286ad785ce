"""A conformance suite for recurrent layers: does yours do what ``torch.nn`` does?"""
