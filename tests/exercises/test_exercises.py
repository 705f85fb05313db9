"""`pytest tests/exercises` grades book/exercises; -k picks by number, chapter or function."""


def test_exercise(exercise, verdict, settle):
    settle(verdict)
