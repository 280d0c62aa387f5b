"""Pages about runs, and what they are made of.

``html`` is the page about one run, ``plots`` its benchmarks, ``timings`` its stages, ``parts`` the
runs that a run of several profiles is made of; ``pages`` has the templates. lab/report.py writes
the reports of a run, this one among them.
"""
