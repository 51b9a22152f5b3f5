"""All private API of Streamlit that the console uses, and the memory that Streamlit holds."""
