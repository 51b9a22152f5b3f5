"""What joins the rooms, beside `services.runtime`, which builds them: only here is one room told of another."""
