"""What the tests run against: real programs, started here and ended here. No test lives in this package."""
