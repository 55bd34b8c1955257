// Buttons that copy the text of another element.

for (const button of document.querySelectorAll('[data-copy]')) {
  button.hidden = false;
  button.addEventListener('click', async () => {
    const source = document.getElementById(button.dataset.copy);
    const before = [...button.childNodes];
    button.replaceChildren(await copy(source) ? 'Copied' : 'Select it and copy');
    setTimeout(() => button.replaceChildren(...before), 1500);
  });
}

async function copy(source) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(source.textContent).then(() => true, () => select(source));
  }
  // Browsers have a clipboard for pages of this machine and of https alone; the old way works everywhere.
  return select(source);
}

function select(source) {
  getSelection().selectAllChildren(source);
  return document.execCommand('copy');
}
