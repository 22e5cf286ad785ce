"""a KeyboardInterrupt of its own"""

raise KeyboardInterrupt
