"""Conversations, chat models and answering."""
