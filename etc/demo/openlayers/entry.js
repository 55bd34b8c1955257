// The parts of OpenLayers that the demo pages use.
export {default as Map} from 'ol/Map.js';
export {default as View} from 'ol/View.js';
export {default as ImageLayer} from 'ol/layer/Image.js';
export {default as TileLayer} from 'ol/layer/Tile.js';
export {default as ImageWMS} from 'ol/source/ImageWMS.js';
export {default as TileWMS} from 'ol/source/TileWMS.js';
export {default as TileImage} from 'ol/source/TileImage.js';
export {default as XYZ} from 'ol/source/XYZ.js';
export {default as TileGrid} from 'ol/tilegrid/TileGrid.js';
export {default as Projection} from 'ol/proj/Projection.js';
export {get as knownProjection} from 'ol/proj.js';
export {default as Zoom} from 'ol/control/Zoom.js';
export {default as ScaleLine} from 'ol/control/ScaleLine.js';
export {default as FullScreen} from 'ol/control/FullScreen.js';
export {default as Rotate} from 'ol/control/Rotate.js';
export {default as Attribution} from 'ol/control/Attribution.js';
export {defaults as interactions} from 'ol/interaction/defaults.js';
