"""``edgevl report``: a finished run as a page that a person can look at, and several runs side by side.

``run_files`` reads what a run has kept, ``pairs`` its pairs and the teacher's answers, ``students`` asks the exported
students again, ``sections`` and ``figures`` make the page's parts of it, ``page`` and ``comparison`` write it.
"""
