# How the tests are run; included by the Makefile.
check: all units
	tests/run $(VARIANT)
