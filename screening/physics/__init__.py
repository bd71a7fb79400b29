"""Arithmetic that several properties share: electrodes, hulls, free energies, calibration."""
