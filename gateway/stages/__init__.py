"""One coroutine per arrow of the picture: intake, plan, tend, publish, report."""
