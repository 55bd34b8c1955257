// The start page's conveniences: it works without them.

import './copy.js';

const filter = document.getElementById('filter');
if (filter) {
  const layers = [...document.querySelectorAll('.layer')];
  const nothing = document.getElementById('nothing');
  filter.hidden = false;
  filter.addEventListener('input', () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const layer of layers) {
      layer.hidden = !words.every((word) => layer.dataset.words.includes(word));
      shown += layer.hidden ? 0 : 1;
    }
    nothing.hidden = shown > 0;
  });
}

// A picture that cannot be drawn leaves no broken sign behind.
for (const image of document.querySelectorAll('.picture img')) {
  const drop = () => image.closest('.picture').classList.add('empty');
  image.addEventListener('error', drop);
  if (image.complete && image.naturalWidth === 0 && image.currentSrc) drop();
}
