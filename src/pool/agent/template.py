"""A template: a process that has imported a core and forks workers."""


def serve(request, hello, work):
    raise NotImplementedError
