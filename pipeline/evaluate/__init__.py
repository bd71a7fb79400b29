"""`redoxa evaluate`: one scorecard for every generator and for any folder of structures."""
