"""What joins the rooms, beside `services.app.container`, which builds them: only here is one room told of another."""
