"""Views of the page "People": the first account, the table, one person, groups, rights on collections."""
