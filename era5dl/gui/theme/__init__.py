"""How the window looks: colours, drawings, scale and the ttk style made of them."""
