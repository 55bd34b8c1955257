//! A source as a layer: system and format chosen, answer decoded, warped, clipped.
