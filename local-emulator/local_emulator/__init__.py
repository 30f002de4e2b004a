"""Addition to the AWS emulator ministack that makes it safe, and closer to AWS.

It replaces functions of one pinned version at run time: see `upstream`.
"""
