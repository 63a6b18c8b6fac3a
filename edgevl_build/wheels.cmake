# For colcon against the ROS 2 wheels (make colcon), passed as CMAKE_PROJECT_INCLUDE: it mends include directories that
# CMake would refuse. An apt ROS 2 needs none of this.
cmake_minimum_required(VERSION 3.21)

function(_mend_include_directories)
  # The wheels' targets export a directory of the machine that built them.
  get_property(imported DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS imported)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    set(kept)
    foreach(directory IN LISTS directories)
      if(directory MATCHES "\\$<" OR EXISTS "${directory}")
        list(APPEND kept "${directory}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${kept}")
  endforeach()

  # NumPy's headers are in .venv, which lies in the source tree; an installed target must not name them.
  get_property(built DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS built)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(directories)
      string(REGEX REPLACE "(^|;)(${PROJECT_SOURCE_DIR}/[^;]*)" "\\1$<BUILD_INTERFACE:\\2>" directories "${directories}")
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${directories}")
    endif()
  endforeach()
endfunction()

# Deferred to the end of CMakeLists.txt: the targets come with its find_package calls.
cmake_language(DEFER CALL _mend_include_directories)
