"""All private API of Streamlit that the console uses, and what it keeps in memory."""
