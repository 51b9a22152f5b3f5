"""Spreadsheets and CSV: tables as sections with their header."""
