from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether the code is right.
# Many of the hosts that are drawn are too small for the rules drawn with them. That a run begins
# with fifty of these is luck, and says nothing of the planner.
settings.register_profile(
    "planner",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("planner")
