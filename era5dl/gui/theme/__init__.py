"""Appearance of the window: colours, fonts, scaling, drawn images, and the ttk style that uses them.

From the bottom up: `palette` (colours), `scaling` (pixels and fonts), `drawing` (anti-aliased shapes), `icons`,
`image_cache` (Tk images), `control_images` (check boxes, switches), `style_builder`, `control_styles` and `ttk_style`
(the ttk theme), `theme` (the object that widgets receive).
"""
