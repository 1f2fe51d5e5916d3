// Responsibility: see ARCHITECTURE.md.
