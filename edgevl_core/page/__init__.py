"""Pages for people: one HTML file with everything in it, charts as inline SVG, pictures as data URIs.

No script, no font, no style sheet and no picture is loaded from anywhere, and the page's own content security policy
forbids it. ``render`` fills templates, ``charts`` and ``strips`` draw, ``pictures`` makes data URIs.
"""
