"""What the workers of `sgtk-eventd` run. The standard library of CPython 3.7 and later, and the studio's
`shotgun_api3`.
"""
