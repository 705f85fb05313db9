"""The graders, a module a chapter: inputs, right answers and known mistakes of each exercise."""
