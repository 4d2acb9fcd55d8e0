"""Google's emulators, started by the tests on free loopback ports and stopped by their process id.

With CI=true a missing emulator is a failure; elsewhere the test skips and says how to get it.
"""
