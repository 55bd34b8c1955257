// Forms that ask the API: the path is filled in, empty parameters are left out, the answer is shown below.

const SHOWN_CHARACTERS_MAX = 20000;

for (const form of document.querySelectorAll('form[data-try]')) {
  const template = form.getAttribute('action');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    let path = template;
    const query = new URLSearchParams();
    for (const field of form.querySelectorAll('[data-in]')) {
      if (field.dataset.in === 'path') path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
      else if (field.value) query.set(field.name, field.value);
    }
    if (form.dataset.image === 'false' && !query.has('f')) query.set('f', 'json');
    const address = query.size ? `${path}?${query}` : path;
    const result = form.querySelector('.result');
    const shown = result.querySelector('.shown');
    result.hidden = false;
    result.querySelector('code').textContent = address;
    shown.replaceChildren();
    const status = result.querySelector('.told');
    status.textContent = 'Asking…';
    try {
      const response = await fetch(address, form.dataset.image === 'true' ? { headers: { Accept: 'image/*' } } : {});
      const type = response.headers.get('Content-Type') ?? '';
      const place = response.headers.get('Content-Bbox');
      status.textContent = `${response.status} · ${type}${place ? ` · ${place}` : ''}`;
      status.classList.toggle('status', !response.ok);
      shown.append(type.startsWith('image/') ? await picture(response) : await text(response));
    } catch (error) {
      status.classList.add('status');
      status.textContent = `No answer: ${error.message}`;
    }
  });
}

async function picture(response) {
  const image = new Image();
  image.alt = 'The image that was answered';
  image.src = URL.createObjectURL(await response.blob());
  return image;
}

async function text(response) {
  const block = document.createElement('pre');
  const body = await response.text();
  block.textContent = body.length > SHOWN_CHARACTERS_MAX ? `${body.slice(0, SHOWN_CHARACTERS_MAX)}…` : body;
  return block;
}
