// The start page's conveniences: it works without them.

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

for (const button of document.querySelectorAll('[data-copy]')) {
  // Browsers let only secure pages (and those of this machine) write there.
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener('click', async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    const before = button.innerHTML;
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
    setTimeout(() => (button.innerHTML = before), 1500);
  });
}
