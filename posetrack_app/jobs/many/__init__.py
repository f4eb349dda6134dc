"""Many videos: who tracks which one, on one machine or on many, and what happened to each.

The data flows `plan (order, parts, workers) -> dispatch (claim, hand out, retry) -> worker (one video) -> summary`.
"""
