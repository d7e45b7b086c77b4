export const STYLE = `
.imxr { display:flex; flex-direction:column; width:100%; height:100%; min-height:0; box-sizing:border-box; outline:none;
  background:#0d1117; color:#d8e2ea; font:13px/1.35 system-ui, "DejaVu Sans", sans-serif; user-select:none; -webkit-user-select:none }
.imxr:focus { outline:none }
.imxr .bars { display:flex; flex-wrap:wrap; gap:4px 8px; align-items:center; padding:4px 6px; background:#161b22; border-bottom:1px solid #30363d }
.imxr .group { display:flex; flex-wrap:wrap; gap:2px; align-items:center }
.imxr button, .imxr select, .imxr input { font:inherit; color:inherit; background:#21262d; border:1px solid #30363d; border-radius:4px; padding:2px 6px; cursor:pointer }
.imxr input { cursor:text }
.imxr input[type=range] { padding:0; accent-color:#4ab4ff; cursor:pointer }
.imxr input[type=color] { padding:0; width:26px; height:22px; cursor:pointer }
.imxr button:hover, .imxr select:hover { border-color:#8b949e }
.imxr button.on { background:#1f6feb; border-color:#1f6feb; color:#fff }
.imxr .sliders { display:flex; flex-wrap:wrap; gap:2px 14px; padding:2px 8px 4px; background:#161b22; border-bottom:1px solid #30363d }
.imxr .sliders label { display:flex; gap:6px; align-items:center; flex:1 1 220px; max-width:520px }
.imxr .sliders input { flex:1 }
.imxr .sliders .value { min-width:92px; font-variant-numeric:tabular-nums }
.imxr .sliders label.chosen .name { color:#4ab4ff }
.imxr .body { display:flex; flex:1 1 0; min-height:0 }
.imxr .panes { flex:1 1 0; min-width:0; min-height:0; display:grid; gap:2px; background:#21262d }
.imxr .pane { position:relative; overflow:hidden; background:#000; min-width:0; min-height:0 }
.imxr .pane.active::after { content:""; position:absolute; inset:0; border:1px solid #4ab4ff; pointer-events:none; z-index:6 }
.imxr .panes.single .pane.active::after { display:none }
.imxr .plot { position:absolute; inset:0; background:#000 }
.imxr .layer { position:absolute; inset:0; width:100%; height:100%; z-index:3; touch-action:none }
.imxr .text, .imxr .letter, .imxr .bartext, .imxr .notice { position:absolute; pointer-events:none; z-index:4; white-space:pre; font-size:12px; font-variant-numeric:tabular-nums;
  text-shadow:1px 0 1px #000, -1px 0 1px #000, 0 1px 1px #000, 0 -1px 1px #000, 0 0 4px #000, 0 0 4px #000 }
.imxr .text span, .imxr .bartext, .imxr .notice { background:#0007; border-radius:3px }
.imxr .text span { box-decoration-break:clone; -webkit-box-decoration-break:clone; padding:0 3px; margin:0 -3px }
.imxr .tl { left:6px; top:4px } .imxr .tr { right:6px; top:4px; text-align:right }
.imxr .bl { left:6px; bottom:4px } .imxr .br { right:6px; bottom:4px; text-align:right }
.imxr .letter { color:#ffd75e; font-weight:600; font-size:14px }
.imxr .letter.left { left:6px; top:50%; transform:translateY(-50%) } .imxr .letter.right { right:6px; top:50%; transform:translateY(-50%) }
.imxr .letter.top { top:4px; left:50%; transform:translateX(-50%) } .imxr .letter.bottom { bottom:4px; left:50%; transform:translateX(-50%) }
.imxr .notice { left:50%; top:24%; transform:translateX(-50%); color:#ffb86b; font-size:14px }
.imxr .colorbar { position:absolute; z-index:4; right:28px; top:25%; height:50%; width:10px; border:1px solid #8b949e; pointer-events:none }
.imxr .bartext.high { right:28px; bottom:calc(75% + 4px) } .imxr .bartext.low { right:28px; top:calc(75% + 4px) }
.imxr .legend { position:absolute; z-index:4; right:6px; top:40px; pointer-events:none; font-size:12px; background:#0007; border-radius:3px; padding:1px 4px }
.imxr .legend div { display:flex; gap:5px; align-items:center } .imxr .legend i { width:10px; height:10px; border:1px solid #8b949e }
.imxr .side { flex:0 0 380px; display:flex; flex-direction:column; gap:6px; padding:6px; overflow:auto; background:#161b22; border-left:1px solid #30363d; box-sizing:border-box }
.imxr .side table { border-collapse:collapse; font-size:11px; font-variant-numeric:tabular-nums; width:100% }
.imxr .side tr.name td { border:0; padding-top:5px; font-size:12px; font-weight:600 }
.imxr .side td, .imxr .side th { padding:1px 2px; text-align:right; white-space:nowrap; border-bottom:1px solid #30363d }
.imxr .side tr.name td { text-align:left }
.imxr .structure { display:flex; gap:4px; align-items:center; padding:2px; border:1px solid transparent; border-radius:4px }
.imxr .structure.on { border-color:#1f6feb }
.imxr .structure input[type=text] { flex:1; min-width:0 }
.imxr .hint { color:#8b949e; font-size:12px }
.imxr svg { width:100%; height:190px; background:#0d1117 }
.imxr .help { position:absolute; inset:5%; z-index:30; overflow:auto; background:#0d1117fa; border:1px solid #30363d; border-radius:6px; padding:12px 16px; columns:3 300px; column-gap:24px }
.imxr .help h3 { margin:0 0 4px; font-size:14px; color:#4ab4ff }
.imxr .help div { display:flex; gap:8px; break-inside:avoid }
.imxr .help section { margin-bottom:12px; break-inside:avoid }
.imxr .help kbd { flex:0 0 112px; font:12px ui-monospace, "DejaVu Sans Mono", monospace; color:#ffd75e }
.imxr .end { position:absolute; inset:0; z-index:40; display:flex; align-items:center; justify-content:center; background:#0d1117e6; font-size:18px }
.imxr [hidden] { display:none !important }
`
