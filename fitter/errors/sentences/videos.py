"""Sentences about videos and their frames."""

SENTENCES = {
    "camera.gone": "expected a camera until the recording was ended, found that it went away after "
    "{frames}: {reason}; what it has shown is fitted",
    "camera.missing": "expected a camera at {place}, found none",
    "camera.no_frames": "expected a camera that shows something, found nothing: {reason}",
    "camera.recorded": "expected no recording, found one; give it as the video, continue its run "
    "with --resume, or replace it with --overwrite",
    "camera.recording_gone": "expected the recording that {out} was fitted from, found none; put "
    "it back, or record anew with --overwrite or another --out",
    "camera.unreadable": "expected a camera that can be read, found: {reason}",
    "video.breaks_off": "expected {expected}, found {found} before it breaks off",
    "video.codec": "expected a video whose coding is known, found another",
    "video.container": "expected a video that holds its pictures itself, found a list of "
    "other files, or a container that is none of videos",
    "video.damaged": "expected a video, found something else, or one that is damaged from its "
    "beginning on; copy or convert it anew",
    "video.damaged_frame": "expected a frame that decodes, found a damaged one",
    "video.empty": "expected a video, found an empty file; copy it anew, or leave it out",
    "video.end_before_start": "expected seconds after --start, found {found:g}",
    "video.every": "expected a whole number of frames from 1 on, found {found!r}",
    "video.every_and_fps": "expected one of them, because both say which frames are left out",
    "video.fps": "expected a number of frames a second above 0, found {found!r}",
    "video.gap": "expected a frame every {step:.3g} s, found none for {found:.3g} s from "
    "{at:.2f} s on: frames are missing there",
    "video.missing": "expected a video, found no such file",
    "video.no_index": "expected a video with its index, which cameras write when they stop, found "
    "one that was cut off before; copy it anew, or restore it with the camera's or another tool "
    "for repairing MP4",
    "video.no_frames": "expected a video with frames, found none",
    "video.no_pictures": "expected a video with pictures, found {found} alone",
    "video.none_between": "expected a frame from --start to --end, found none at these times in "
    "{video}; take a longer part",
    "video.none_whole": "{reason}",
    "video.no_video": "expected a video, found {found}; leave {options} out",
    "video.no_such_frame": "expected a frame of {count}, found a later number",
    "video.seconds": "expected seconds from 0 on, found {found!r}",
    "video.start_after_end": "expected at most {last:g}, the seconds at which the last frame of "
    "{video} is shown, found {found:g}",
    "video.text": "expected a video, found a text; leave it out, or give it its right ending",
    "video.too_many_frames": "expected at most {most:,} frames, found {found:,}",
    "video.unreadable": "expected a video that can be read, found: {reason}",
}
