"""The metrics of jobs: what a script logged, kept in chunks, read in order of steps or thinned out for a chart.

`point` a value at a step · `chunk` many points of one metric in one text · `thinning` few points that look like many ·
`store` the table. How a series grows is told in `store`.
"""
