"""Figures from the history: pure functions, no Streamlit."""
