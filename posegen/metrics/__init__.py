"""Quality metrics: functions of arrays and tensors, with reference values in their tests."""
